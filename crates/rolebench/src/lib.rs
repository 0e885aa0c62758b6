//! RoleBench: schema, reading, splits, leaks, statistics; RAW, CUS, SPE. Knows roles and rouge; never models.
