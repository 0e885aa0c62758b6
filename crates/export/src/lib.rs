//! Turns trained checkpoints into GGUF files for the web. Knows checkpoints and GGUF; never gradients or prompts.
