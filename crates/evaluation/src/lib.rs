//! Scores predictions over RoleBench and makes them with a local model. Knows files and models; never gradients.
