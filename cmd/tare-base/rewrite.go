package main

import (
	"mvdan.cc/sh/v3/syntax"
)

// Markers: command names that rewrite puts into a script and shell.call
// understands.
const (
	markExec   = "__tare_exec"   // exec that may replace the process
	markTail   = "__tare_tail"   // the last command of sh -c: may replace it too
	markFork   = "__tare_fork"   // before a background job, in the shell
	markForked = "__tare_forked" // after it, in the shell
	markDone   = "__tare_done"   // last in the job
	markPid    = "__tare_pid"    // prints $!
	markStatus = "__tare_status" // sets $?
	jobVar     = "__tare_job"    // number of the job that a command runs in
)

// rewrite makes explicit what the interpreter does not tell its handlers:
//
//	exec CMD   → __tare_exec CMD, where the shell itself would be replaced
//	CMD &      → __tare_fork; { ({ CMD; }); __tare_done; } & __tare_forked
//	$!         → $(__tare_pid)
//
// With command, for sh -c, the last simple command of the script replaces the
// shell, as other shells do it: a signal to the container reaches it.
func rewrite(f *syntax.File, command bool) {
	simple := true // no job and no trap that the shell has to stay for
	replaceable := map[*syntax.CallExpr]bool{}
	var depth int // of what runs in a subshell or who knows where
	var stack []bool
	syntax.Walk(f, func(n syntax.Node) bool {
		if n == nil {
			if stack[len(stack)-1] {
				depth--
			}
			stack = stack[:len(stack)-1]
			return true
		}
		forks := false
		switch n := n.(type) {
		case *syntax.Subshell, *syntax.CmdSubst, *syntax.ProcSubst:
			forks = true
		case *syntax.FuncDecl:
			forks, simple = true, false
		case *syntax.BinaryCmd:
			forks = n.Op == syntax.Pipe || n.Op == syntax.PipeAll
		case *syntax.Stmt:
			if n.Background || n.Coprocess {
				forks, simple = true, false
			}
		case *syntax.CallExpr:
			switch word := callName(n); {
			case word == "trap" || word == "eval" || word == "." || word == "source":
				simple = false
			case depth == 0 && word == "exec" && len(n.Args) > 1:
				replaceable[n] = true
			}
		}
		stack = append(stack, forks)
		if forks {
			depth++
		}
		return true
	})
	if simple {
		for c := range replaceable {
			c.Args[0] = word(markExec)
		}
		if last := len(f.Stmts) - 1; command && last >= 0 {
			st := f.Stmts[last]
			if c, ok := st.Cmd.(*syntax.CallExpr); ok && !st.Negated && len(c.Args) > 0 && !replaceable[c] {
				c.Args = append([]*syntax.Word{word(markTail)}, c.Args...)
			}
		}
	}
	rewriteJobs(f)
}

func callName(c *syntax.CallExpr) string {
	if len(c.Args) == 0 {
		return ""
	}
	return c.Args[0].Lit()
}

func rewriteJobs(f *syntax.File) {
	syntax.Walk(f, func(n syntax.Node) bool {
		switch n := n.(type) {
		case *syntax.File:
			n.Stmts = background(n.Stmts)
		case *syntax.Block:
			n.Stmts = background(n.Stmts)
		case *syntax.Subshell:
			n.Stmts = background(n.Stmts)
		case *syntax.CmdSubst:
			n.Stmts = background(n.Stmts)
		case *syntax.ProcSubst:
			n.Stmts = background(n.Stmts)
		case *syntax.IfClause:
			n.Cond, n.Then = background(n.Cond), background(n.Then)
		case *syntax.WhileClause:
			n.Cond, n.Do = background(n.Cond), background(n.Do)
		case *syntax.ForClause:
			n.Do = background(n.Do)
		case *syntax.CaseItem:
			n.Stmts = background(n.Stmts)
		case *syntax.Word:
			lastPid(n.Parts)
		case *syntax.DblQuoted:
			lastPid(n.Parts)
		}
		return true
	})
}

func lastPid(parts []syntax.WordPart) {
	for i, p := range parts {
		if e, ok := p.(*syntax.ParamExp); ok && e.Param != nil && e.Param.Value == "!" && e.Exp == nil && !e.Length {
			parts[i] = &syntax.CmdSubst{Stmts: []*syntax.Stmt{call(markPid)}}
		}
	}
}

func background(in []*syntax.Stmt) []*syntax.Stmt {
	var out []*syntax.Stmt
	for _, st := range in {
		if !st.Background || st.Cmd == nil {
			out = append(out, st)
			continue
		}
		body := *st
		body.Background = false
		// the inner braces keep a printed "((" from being arithmetic
		inner := &syntax.Stmt{Position: st.Position, Cmd: &syntax.Block{Stmts: []*syntax.Stmt{&body}}}
		job := &syntax.Stmt{Position: st.Position, Background: true, Cmd: &syntax.Block{Stmts: []*syntax.Stmt{
			{Position: st.Position, Cmd: &syntax.Subshell{Stmts: []*syntax.Stmt{inner}}},
			call(markDone),
		}}}
		out = append(out, call(markFork), job, call(markForked))
	}
	return out
}

func word(s string) *syntax.Word {
	return &syntax.Word{Parts: []syntax.WordPart{&syntax.Lit{Value: s}}}
}

func call(name string) *syntax.Stmt {
	return &syntax.Stmt{Cmd: &syntax.CallExpr{Args: []*syntax.Word{word(name)}}}
}
