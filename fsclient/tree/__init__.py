"""The tree of nodes: from paths to verified nodes, and signed changes of them."""
