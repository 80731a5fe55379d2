package main

import (
	"context"
	"os"

	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

// applets is the table of all applets, sorted by name. It is a function so
// that nothing is built when a program starts.
func applets() []applet {
	return []applet{
		{"[", runBuiltin},
		{"ash", runSh},
		{"base64", runBase64},
		{"basename", runBasename},
		{"cat", runCat},
		{"chgrp", runChown},
		{"chmod", runChmod},
		{"chown", runChown},
		{"chroot", runChroot},
		{"cmp", runCmp},
		{"cp", runCp},
		{"cut", runCut},
		{"date", runDate},
		{"dd", runDd},
		{"df", runDf},
		{"dirname", runDirname},
		{"domainname", runDomainname},
		{"du", runDu},
		{"echo", runBuiltin},
		{"egrep", runGrep},
		{"env", runEnv},
		{"false", func(p *proc, _ []string) { p.code = 1 }},
		{"fgrep", runGrep},
		{"find", runFind},
		{"free", runFree},
		{"grep", runGrep},
		{"groups", runGroups},
		{"head", runHead},
		{"hexdump", runHexdump},
		{"hostname", runHostname},
		{"httpd", runHttpd},
		{"id", runID},
		{"ip", runIP},
		{"ipccheck", runIpccheck},
		{"ipcs", runIpcs},
		{"kill", runKill},
		{"killall", runPgrep},
		{"ln", runLn},
		{"ls", runLs},
		{"md5sum", runSum},
		{"mkdir", runMkdir},
		{"mkfifo", runMkfifo},
		{"mknod", runMknod},
		{"mktemp", runMktemp},
		{"mount", runMount},
		{"mountpoint", runMountpoint},
		{"mv", runMv},
		{"nc", runNc},
		{"nohup", runNohup},
		{"nproc", runNproc},
		{"pgrep", runPgrep},
		{"pidof", runPgrep},
		{"ping", runPing},
		{"pkill", runPgrep},
		{"printenv", runPrintenv},
		{"printf", runPrintf},
		{"ps", runPs},
		{"pwd", runPwd},
		{"readlink", runReadlink},
		{"realpath", runReadlink},
		{"rev", runRev},
		{"rm", runRm},
		{"rmdir", runRmdir},
		{"sed", runSed},
		{"seq", runSeq},
		{"setsid", runSetsid},
		{"sh", runSh},
		{"sha1sum", runSum},
		{"sha256sum", runSum},
		{"sha512sum", runSum},
		{"sleep", runSleep},
		{"sort", runSort},
		{"stat", runStat},
		{"stress", runStress},
		{"sync", runSync},
		{"tac", runTac},
		{"tail", runTail},
		{"tar", runTar},
		{"tee", runTee},
		{"test", runBuiltin},
		{"timeout", runTimeout},
		{"touch", runTouch},
		{"tr", runTr},
		{"true", func(*proc, []string) {}},
		{"truncate", runTruncate},
		{"tty", runTty},
		{"umount", runUmount},
		{"uname", runUname},
		{"uniq", runUniq},
		{"uptime", runUptime},
		{"wc", runWc},
		{"wget", runWget},
		{"which", runWhich},
		{"whoami", runWhoami},
		{"xargs", runXargs},
		{"yes", runYes},
	}
}

// runBuiltin is echo, test and [ as programs: the shell's own.
func runBuiltin(p *proc, args []string) {
	f := &syntax.CallExpr{Args: []*syntax.Word{word(p.name)}}
	for _, a := range args {
		f.Args = append(f.Args, &syntax.Word{Parts: []syntax.WordPart{&syntax.SglQuoted{Value: a}}})
	}
	r, err := interp.New(interp.StdIO(os.Stdin, p.out, p.err))
	if err != nil {
		p.fatalf(2, "%s", err)
	}
	code, err := exitStatus(r.Run(context.Background(), f))
	if err != nil {
		p.failf("%s", err)
	}
	p.code = code
}
