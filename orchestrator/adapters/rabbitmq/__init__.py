"""The broker on RabbitMQ 3.10 to 4.x: begin with `broker.py`; names are made in `names.py` only."""
