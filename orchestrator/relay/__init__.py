"""What clients, workers and the engine share when they act: store calls whose outcome is made
certain, and the publishing of what the store answered."""
