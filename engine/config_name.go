package engine

// ValidName reports whether a container may have the name: Docker's
// [a-zA-Z0-9][a-zA-Z0-9_.-]+, and at most 255 bytes, since it names a file.
func ValidName(name string) bool {
	if len(name) < 2 || len(name) > 255 {
		return false
	}
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case (c == '_' || c == '.' || c == '-') && i > 0:
		default:
			return false
		}
	}
	return true
}
