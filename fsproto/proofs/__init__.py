"""Merkle trees and prefix trees: proofs of what a log or a folder holds."""
