// The engine worker: its module is a file of its own, so that the page loads without it.
import init from "./engine.js";

init();
