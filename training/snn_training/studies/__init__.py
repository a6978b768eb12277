"""Studies over seeds and settings, their statistics, tables and figures."""
