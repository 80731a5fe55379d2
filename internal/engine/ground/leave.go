package ground

import "context"

// Wait calls wait and returns what it does, for a caller who may leave: at the end
// of ctx the wait goes on in a goroutine, as long as this process is there.
func Wait(ctx context.Context, wait func() (int, error)) (int, error) {
	if ctx.Done() == nil {
		return wait()
	}
	type end struct {
		code int
		err  error
	}
	ended := make(chan end, 1)
	go func() {
		code, err := wait()
		ended <- end{code, err}
	}()
	select {
	case e := <-ended:
		return e.code, e.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}
