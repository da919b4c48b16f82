"""Takes tasks of a task queue and does them: workflow tasks, activity tasks, and the engine's
duties."""
