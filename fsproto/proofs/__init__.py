"""Merkle trees and prefix trees: proofs about the entries of a log or a folder."""
