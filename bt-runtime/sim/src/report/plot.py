"""Draws the data of one plot again, to restyle it: python3 plot.py NAME [FILE.pdf]"""
import sys
import matplotlib.pyplot as plt, pandas as pd
data = pd.read_csv(f"{sys.argv[1]}.csv")
fig, ax = plt.subplots(figsize=(6.4, 4.2), layout="constrained")
if "to" in data:  # a matrix
    grid = data.pivot(index="from", columns="to", values=data.columns[2])
    grid = grid.reindex(index=data["from"].unique(), columns=data["to"].unique())
    ax.set(xlabel="to", ylabel="from", xticks=range(len(grid.columns)), xticklabels=grid.columns,
           yticks=range(len(grid)), yticklabels=grid.index)
    fig.colorbar(ax.imshow(grid, cmap="Blues"), label=data.columns[2])
elif "row" in data:  # figures with intervals
    x = data.columns[1]
    ax.errorbar(data[x], data["row"], xerr=[data[x] - data["low"], data["high"] - data[x]], fmt="s", capsize=3)
    ax.set(xlabel=x); ax.invert_yaxis()
else:  # curves
    x, y = data.columns[1:3]
    for name, part in data.groupby("series", sort=False):
        ax.plot(part[x], part[y], label=name, drawstyle="steps-post" if "low" not in data and "peers" in y else "default")
        if "low" in data: ax.fill_between(part[x], part["low"], part["high"], alpha=0.2)
    ax.set(xlabel=x, ylabel=y); ax.legend()
fig.savefig(sys.argv[2] if len(sys.argv) > 2 else f"{sys.argv[1]}-matplotlib.pdf")
