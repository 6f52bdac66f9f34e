package lab

import ("testing";"os";"context";"time")

func TestScratch(t *testing.T) {
	b := time.Now()
	ctx, c := context.WithTimeout(context.Background(), 300*time.Second)
	defer c()
	l, err := Start(ctx, Options{Log: os.Stderr, Workers: 40, Stock: os.Getenv("STOCK")!=""})
	if err != nil { t.Fatal(err) }
	defer l.Stop()
	t.Log(time.Since(b))
	b = time.Now()
	if err := l.Reset(ctx); err != nil { t.Fatal(err) }
	t.Log("reset", time.Since(b))
}
