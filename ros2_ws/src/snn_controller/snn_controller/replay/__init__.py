"""Recorded flights flown again: is every action the same?"""
