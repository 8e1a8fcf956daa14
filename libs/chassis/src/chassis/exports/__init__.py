"""Exports: what a service holds of a person, which each service returns for the caller."""

from chassis.exports.declared import Export

__all__ = ["Export"]
