"""The sub-commands of ``stmem``, a thin module each."""
