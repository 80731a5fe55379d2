package containers

import (
	"path"
	"strings"

	"github.com/tare-engine/tare/internal/lib/fault"
)

// What a path of cp means follows from how it ends, in Docker's words:
//
//	SRC_PATH specifies a file
//	  DEST_PATH does not exist: the file is saved to a file created at DEST_PATH
//	  DEST_PATH does not exist and ends with /: error
//	  DEST_PATH exists and is a file: the destination is overwritten
//	  DEST_PATH exists and is a directory: the file is copied into it
//	SRC_PATH specifies a directory
//	  DEST_PATH does not exist: it is made, with the contents of the source
//	  DEST_PATH exists and is a file: error
//	  DEST_PATH exists and is a directory
//	    SRC_PATH does not end with /.: the source is copied into it
//	    SRC_PATH does end with /.: its contents are copied into it
//
// A link as SRC_PATH is copied as a link unless it is followed, with -L or
// because the path ends with a slash. A link as DEST_PATH is followed.

// copyPath is a path of a copy's source or destination.
type copyPath struct {
	clean    string // without what it ends with
	contents bool   // ends with /.
	slash    bool   // ends with a slash, or contents
}

func parseCopyPath(p string) copyPath {
	c := copyPath{clean: path.Clean(p)}
	c.contents = p == "." || strings.HasSuffix(p, "/.")
	c.slash = c.contents || strings.HasSuffix(p, "/")
	return c
}

// copySource is what is copied.
type copySource struct {
	copyPath
	dir bool
}

// name is what the source is called in an archive.
func (s *copySource) name() string {
	if s.contents || s.clean == "/" || s.clean == "." || s.clean == ".." {
		return "."
	}
	return path.Base(s.clean)
}

// copyDest is where it goes.
type copyDest struct {
	copyPath
	exists, dir bool
}

// target returns the directory to extract to, and what the source is called
// there.
func (d *copyDest) target(s *copySource) (dir, name string, err error) {
	switch {
	case d.exists && d.dir:
		return d.clean, s.name(), nil
	case d.exists && s.dir:
		return "", "", fault.New(fault.Invalid, "cannot copy directory to a file: %s", d.clean)
	case !d.exists && !s.dir && d.slash:
		return "", "", fault.New(fault.NotFound, "no such directory: %s", d.clean)
	}
	return path.Dir(d.clean), path.Base(d.clean), nil
}
