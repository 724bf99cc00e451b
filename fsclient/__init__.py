"""The client: seals and opens, puts and gets, and trusts nothing that it did not verify."""
