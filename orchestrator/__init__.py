"""Durable workflows on RabbitMQ and Redis: Temporal's programming model without a server.

User code imports the faces beside this file: `orchestrator.workflow`, `.activity`, `.client`,
`.worker`, `.common`, `.exceptions`, `.testing`. Nothing is imported here, so that a program that
needs one face does not pay for the others.
"""

__version__ = "0.1.0"
