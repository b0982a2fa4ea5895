"""Guests that mean harm, and everything they might reach."""
