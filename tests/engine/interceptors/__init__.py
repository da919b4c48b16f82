"""Interceptors of clients and workers."""
