"""The learners, one module or package each."""
