package registry

import "context"

// Accounts are the logins in Docker's config.json.
type Accounts struct {
	Client func() (*Client, error)
}

// Server implements images.Accounts.
func (Accounts) Server(name string) (string, error) { return LoginServer(name) }

// Login implements images.Accounts.
func (a Accounts) Login(ctx context.Context, server, user, password string) error {
	c, err := a.Client()
	if err != nil {
		return err
	}
	if err := c.CheckLogin(ctx, server, user, password); err != nil {
		return err
	}
	return SaveLogin(server, user, password)
}

// Logout implements images.Accounts.
func (Accounts) Logout(server string) error { return RemoveLogin(server) }
