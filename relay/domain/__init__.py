"""Pure rules: no I/O, the clock is passed in. Imports nothing but the standard library and msgspec."""
