package kit

// build is set by the linker: see the Makefile.
var build = "unknown"

// Build says of what sources this program was built: the newest commit that had changed them, with a + if they had changed
// since; `unknown` if it was not built by make.
func Build() string { return build }
