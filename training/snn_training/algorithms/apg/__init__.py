"""Analytic policy gradients through the differentiable drone."""
