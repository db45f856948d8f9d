// The samples of the documentation are compiled as a part of this program, and not run: scripts/doc-samples puts them into
// Generated, beside this file.
print("these are compiled, and nothing more")
