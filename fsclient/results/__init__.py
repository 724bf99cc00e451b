"""The fields of every `--json` result of fsclient; docs/json.md is generated from them.

A name with dots is a field of a field; `[]` is each element of a list.
"""
