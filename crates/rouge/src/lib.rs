//! ROUGE-L over tokens given by the caller. Knows strings; never models or files.
