//! Security groups to canonical policies, the reference verdict, and the proof that both are equal.
