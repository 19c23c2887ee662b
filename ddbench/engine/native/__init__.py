"""Blocks of networks in C++ of our own, behind one door: `ddbench.engine.native.network`."""
