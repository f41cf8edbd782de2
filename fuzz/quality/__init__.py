"""Is the fuzzer any good?  Bugs planted in a stack on purpose: each must be found, and its program must get short."""
