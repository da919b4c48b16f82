"""The demo: many food orders, a few workers, and accidents; then the books are checked.

The orders and their workflow are the reference app `workers/orders`; what is here places them by
plain messages, breaks things, watches, and adds up. The same parts serve the integration tests.
"""
