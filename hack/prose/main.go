// Command prose counts what the style of this repository asks for and no compiler sees: lines over
// 120 columns, and words that have a better one in hack/prose/words.txt. It reads comments and
// string literals of Go files, scripts and Markdown. With -v it prints each place and what to say
// instead. It never fails on what it finds: a list is no substitute for taste.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"go/scanner"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// maxColumns is where a line of code ends; a tab counts as four columns.
const maxColumns = 120

// word is one entry of the list: what not to write, and what to write instead.
type word struct {
	pattern *regexp.Regexp
	instead string
}

// finding is one place that could be better.
type finding struct {
	file string
	line int
	text string
}

func main() {
	verbose := flag.Bool("v", false, "print each place")
	flag.Parse()
	words, err := readWords("hack/prose/words.txt")
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(1)
	}
	files, err := trackedFiles()
	if err != nil {
		fmt.Fprintln(os.Stderr, "prose:", err)
		os.Exit(1)
	}
	var long, old []finding
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil || bytes.HasPrefix(source, []byte("// Code generated")) {
			continue
		}
		if strings.HasSuffix(file, ".go") {
			long = append(long, longLines(file, source)...)
		}
		old = append(old, oldWords(file, source, words)...)
	}
	if *verbose {
		for _, f := range append(long, old...) {
			fmt.Printf("%s:%d: %s\n", f.file, f.line, f.text)
		}
	}
	fmt.Printf("RESULT lines_over_120=%d old_words=%d\n", len(long), len(old))
}

// readWords reads lines of the form "regular expression => what to write instead".
func readWords(path string) ([]word, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var words []word
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		pattern, instead, ok := strings.Cut(lines.Text(), " => ")
		if !ok {
			continue // a comment, or an empty line
		}
		re, err := regexp.Compile(`(?i)\b(?:` + strings.TrimSpace(pattern) + `)\b`)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", path, err)
		}
		words = append(words, word{pattern: re, instead: strings.TrimSpace(instead)})
	}
	return words, lines.Err()
}

// trackedFiles lists the texts of this repository. The list of words itself is left out, and so is
// what others have written.
func trackedFiles() ([]string, error) {
	out, err := exec.Command("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "*.go", "*.md",
		"*.sh").Output()
	if err != nil {
		return nil, fmt.Errorf("git ls-files: %w", err)
	}
	var files []string
	for file := range strings.Lines(string(out)) {
		file = strings.TrimSuffix(file, "\n")
		if strings.Contains(file, "testdata/") || strings.HasPrefix(file, "hack/prose/") || file == "CHANGELOG.md" {
			continue
		}
		files = append(files, file)
	}
	return files, nil
}

func longLines(file string, source []byte) []finding {
	var found []finding
	number := 0
	for line := range bytes.Lines(source) {
		number++
		text := strings.TrimSuffix(string(line), "\n")
		if n := len([]rune(strings.ReplaceAll(text, "\t", "    "))); n > maxColumns {
			found = append(found, finding{file, number, fmt.Sprintf("%d columns", n)})
		}
	}
	return found
}

func oldWords(file string, source []byte, words []word) []finding {
	if filepath.Ext(file) != ".go" {
		return matches(file, 1, string(source), words)
	}
	var found []finding
	fset := token.NewFileSet()
	var s scanner.Scanner
	s.Init(fset.AddFile(file, -1, len(source)), source, nil, scanner.ScanComments)
	for {
		pos, tok, text := s.Scan()
		if tok == token.EOF {
			return found
		}
		if tok == token.COMMENT || tok == token.STRING {
			found = append(found, matches(file, fset.Position(pos).Line, text, words)...)
		}
	}
}

// matches looks at line after line, so that a place has a number.
func matches(file string, first int, text string, words []word) []finding {
	var found []finding
	number := first
	for line := range strings.Lines(text) {
		for _, w := range words {
			if hit := w.pattern.FindString(line); hit != "" {
				found = append(found, finding{file, number, fmt.Sprintf("%q: say %s", hit, w.instead)})
			}
		}
		number++
	}
	return found
}
