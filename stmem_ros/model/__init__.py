"""The network in plain PyTorch, to be read beside ``docs/method.md``, and its bundles."""
