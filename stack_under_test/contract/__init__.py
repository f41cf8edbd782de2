"""The values that cross the seam between a program and a stack: calls, frames, outcomes, traces (standard library alone)."""
