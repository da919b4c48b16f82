"""What crosses a process border: the single source of every contract.

Everything stored in Redis or sent through RabbitMQ is one of these frozen msgspec Structs. They
hold no behaviour beyond small constructors; rules about them live in `orchestrator.core`.
"""
