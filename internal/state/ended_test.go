package state

import "testing"

func TestEnded(t *testing.T) {
	for stat, want := range map[string]bool{
		"7 (a b) S 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 99 0":    false,
		"7 (a b) Z 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 1 0 99 0":    true,
		"7 (a b) X 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 0 0 99 0":    true,
		"7 (x) Z) Z 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 5 0 99 0":   false, // another thread executes a program
		"7 (tare) R 1 7 7 0 -1 4194304 1 0 0 0 0 0 0 0 20 0 12 0 99 0 ": false,
	} {
		st, err := parseStat([]byte(stat))
		if err != nil || st.start != 99 || st.ended() != want {
			t.Errorf("%s: %+v, ended %v (%v), want %v", stat, st, st.ended(), err, want)
		}
	}
}
