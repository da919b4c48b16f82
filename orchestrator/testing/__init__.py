"""What tests of workflows need: private servers, and environments to run workflows in."""
