"""Files and symbolic links of the local disk."""
