# Maximum likelihood by lme4 and nlme where theirs is the likelihood of a mixed-effects fit: models that are linear in
# the random effects. Usage: Rscript fit.R FOLDER [orange_trees.csv] > references.csv
suppressPackageStartupMessages({library(nlme); library(lme4)})
options(digits = 12)
folder <- commandArgs(trailingOnly = TRUE)
table <- function(name) read.csv(file.path(folder[1], paste0(name, ".csv")))
row <- function(set, program, ...) {
  values <- list(...)
  for (name in names(values)) cat(sprintf("%s,%s,%s,%.12g\n", set, program, name, unname(values[[name]])))
}
tight <- lmerControl(optimizer = "bobyqa", optCtrl = list(rhoend = 1e-10, maxfun = 1e5))
cat("set,program,name,value\n")

d <- table("line")
m <- lmer(DV ~ TIME + TIME:X + (TIME | ID), d, REML = FALSE, control = tight)
v <- as.data.frame(VarCorr(m))
row("line", "lme4", level = fixef(m)[1], slope = fixef(m)[2], effect = fixef(m)[3], sd_level = v$sdcor[1],
    sd_slope = v$sdcor[2], correlation = v$sdcor[3], sigma = sigma(m), deviance = -2 * c(logLik(m)))
exact <- lmeControl(msTol = 1e-12, tolerance = 1e-12, msMaxIter = 500, maxIter = 500, opt = "optim", reltol = 1e-14)
n <- lme(DV ~ TIME + TIME:X, d, ~ TIME | ID, method = "ML", control = exact)
v <- VarCorr(n)
row("line", "nlme", level = fixef(n)[1], slope = fixef(n)[2], effect = fixef(n)[3], sd_level = as.numeric(v[1, 2]),
    sd_slope = as.numeric(v[2, 2]), correlation = as.matrix(corMatrix(n$modelStruct$reStruct[[1]]))[1, 2],
    sigma = n$sigma, deviance = -2 * c(logLik(n)))

d <- table("decline")
m <- lmer(log(DV) ~ TIME + (1 | ID) + (0 + TIME | ID), d, REML = FALSE, control = tight)
v <- as.data.frame(VarCorr(m))
row("decline", "lme4", peak = exp(fixef(m)[1]), rate = -fixef(m)[2], sd_peak = v$sdcor[1], sd_rate = v$sdcor[2],
    sigma = sigma(m), deviance = -2 * c(logLik(m)))
n <- lme(log(DV) ~ TIME, d, list(ID = pdDiag(~ TIME)), method = "ML", control = exact)
v <- VarCorr(n)
row("decline", "nlme", peak = exp(fixef(n)[1]), rate = -fixef(n)[2], sd_peak = as.numeric(v[1, 2]),
    sd_rate = as.numeric(v[2, 2]), sigma = n$sigma, deviance = -2 * c(logLik(n)))

d <- table("occasions")
m <- lmer(DV ~ TIME + (1 | ID) + (1 | ID:OCC), d, REML = FALSE, control = tight)
v <- as.data.frame(VarCorr(m))
row("occasions", "lme4", level = fixef(m)[1], slope = fixef(m)[2], sd_level = v$sdcor[v$grp == "ID"],
    occasion_sd = v$sdcor[v$grp == "ID:OCC"], sigma = sigma(m), deviance = -2 * c(logLik(m)))
n <- lme(DV ~ TIME, d, list(ID = ~ 1, OCC = ~ 1), method = "ML", control = exact)
v <- VarCorr(n)
row("occasions", "nlme", level = fixef(n)[1], slope = fixef(n)[2], sd_level = as.numeric(v[2, 2]),
    occasion_sd = as.numeric(v[4, 2]), sigma = n$sigma, deviance = -2 * c(logLik(n)))

if (length(folder) > 1) {
  d <- read.csv(folder[2])
  f <- nlmer(DV ~ SSlogis(TIME, Asym, xmid, scal) ~ Asym | ID, d, start = c(Asym = 190, xmid = 730, scal = 350),
             control = nlmerControl(optimizer = "bobyqa", tolPwrss = 1e-10, optCtrl = list(rhoend = 1e-9)))
  v <- as.data.frame(VarCorr(f))
  row("orange", "lme4", Asym = fixef(f)[1], xmid = fixef(f)[2], scal = fixef(f)[3], sd_Asym = v$sdcor[1],
      sigma = sigma(f), deviance = -2 * c(logLik(f)))
}
