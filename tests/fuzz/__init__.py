"""Fuzzing of every parser that reads bytes from a peer or a file.

`targets` names them, `run` fuzzes one of them with coverage (atheris), `test_fuzz` does so for a
short time in `make test` and for longer in `make soak`.
"""
