//! The messages between the page and its engine worker. Knows plain data; never models or the DOM.
