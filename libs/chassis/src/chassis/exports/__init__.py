"""Exports: what a service holds of a person, which each service returns for the caller."""

from chassis.exports.declared import Export
from chassis.exports.of_chassis import ExportedJob, exported_jobs

__all__ = ["Export", "ExportedJob", "exported_jobs"]
