package images

import "context"

// Accounts are a user's logins at registries. What speaks HTTP is given by the
// program that links it.
type Accounts interface {
	// Server is the registry that a user means; the error is Invalid.
	Server(name string) (string, error)
	// Login asks the registry whether it takes the password, and keeps it. The
	// error is Denied where it does not.
	Login(ctx context.Context, server, user, password string) error
	// Logout forgets a login. The error is NotFound where there is none.
	Logout(server string) error
}
