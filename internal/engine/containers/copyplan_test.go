package containers

import "testing"

// TestCopyTarget is the table of Docker's documentation.
func TestCopyTarget(t *testing.T) {
	for _, tt := range []struct {
		src      string
		srcDir   bool
		dst      string
		exists   bool
		dstDir   bool
		dir, as  string
		mustFail bool
	}{
		{"/a/f", false, "/x/new", false, false, "/x", "new", false},
		{"/a/f", false, "/x/new/", false, false, "", "", true},
		{"/a/f", false, "/x/new/.", false, false, "", "", true},
		{"/a/f", false, "/x/old", true, false, "/x", "old", false},
		{"/a/f", false, "/x", true, true, "/x", "f", false},
		{"/a/f", false, "/x/", true, true, "/x", "f", false},
		{"/a/d", true, "/x/new", false, false, "/x", "new", false},
		{"/a/d", true, "/x/new/", false, false, "/x", "new", false},
		{"/a/d/.", true, "/x/new", false, false, "/x", "new", false},
		{"/a/d", true, "/x/file", true, false, "", "", true},
		{"/a/d/.", true, "/x/file", true, false, "", "", true},
		{"/a/d", true, "/x", true, true, "/x", "d", false},
		{"/a/d/", true, "/x", true, true, "/x", "d", false},
		{"/a/d/.", true, "/x", true, true, "/x", ".", false},
		{".", true, "/x", true, true, "/x", ".", false},
		{"/", true, "/x", true, true, "/x", ".", false},
		{"/", true, "/x/new", false, false, "/x", "new", false},
	} {
		s := &copySource{parseCopyPath(tt.src), tt.srcDir}
		d := &copyDest{parseCopyPath(tt.dst), tt.exists, tt.dstDir}
		dir, as, err := d.target(s)
		if (err != nil) != tt.mustFail || dir != tt.dir || as != tt.as {
			t.Errorf("%s to %s (exists %v, directory %v): %q %q %v", tt.src, tt.dst, tt.exists, tt.dstDir, dir, as, err)
		}
	}
}
