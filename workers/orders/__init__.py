"""The food delivery order, from its payment to the customer's door."""
