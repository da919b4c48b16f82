"""Adapters: what stands behind the ports. They never import each other."""
