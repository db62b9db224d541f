"""``stmem doctor``"""
def add_parser(commands): pass
