package cli

import "testing"

func TestFillSimple(t *testing.T) {
	type inner struct{ N int }
	v := &struct {
		Name string
		On   bool
		In   *inner
		Nil  *inner
		M    map[string]string
		L    []string
	}{"web", true, &inner{7}, nil, map[string]string{"k": "<v>"}, []string{"a"}}
	for _, tt := range []struct {
		in, want string
		ok       bool
	}{
		{"{{.Name}}/{{ .On }} {{.In.N}}", "web/true 7", true},
		{`{{.M.k}}\t{{json .M}}`, "<v>\t{\"k\":\"<v>\"}", true},
		{"{{json .Nil}} {{json .L}} {{json .In}}", `null ["a"] {"N":7}`, true},
		{"plain", "plain", true},
		{"{{.L}}", "", false},
		{"{{.Nil.N}}", "", false},
		{"{{.M.none}}", "", false},
		{"{{.Nope}}", "", false},
		{"{{.}}", "", false},
		{"{{- .Name}}", "", false},
		{"{{upper .Name}}", "", false},
		{"{{.Name | upper}}", "", false},
		{`{{index .M "k"}}`, "", false},
		{"{{.Name", "", false},
		{"{{}}", "", false},
	} {
		if got, ok := fillSimple(tt.in, v); got != tt.want || ok != tt.ok {
			t.Errorf("%s: got %q, %v", tt.in, got, ok)
		}
	}
}
