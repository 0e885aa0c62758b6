//! The engine worker: loads a GGUF and generates in the background. Knows generate and messages; never the DOM.
